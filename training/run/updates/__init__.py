"""How the weights are updated: the optimisers and their schedules, and which updates are skipped."""
