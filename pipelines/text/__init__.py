"""The science: functions on Arrow arrays and strings. No framework."""
