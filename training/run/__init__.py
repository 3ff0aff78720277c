"""A pretraining run: config, feed, trainer, plan, reports."""
