"""The page that compares pretraining runs."""
