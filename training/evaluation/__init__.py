"""What a trained model has learnt."""
