"""The data side: turns raw public text into verified Arrow shards. Imports neither torch nor prefect nor great_expectations."""
