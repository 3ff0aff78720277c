"""What this program makes in the formats of other projects; imports only the contract."""
