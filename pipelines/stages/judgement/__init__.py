"""Stages that judge a text: its language, the rules, its quality."""
