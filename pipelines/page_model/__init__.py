"""Train the model of web pages: labels from texts that people made, boosted trees, cross-validation by site."""
