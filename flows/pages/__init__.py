"""What is drawn: reports and pages."""
