"""Our fine-tuned models as judges of texts."""
