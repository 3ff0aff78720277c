"""Stages that keep documents out by their names: takedowns and block lists."""
