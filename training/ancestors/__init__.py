"""The models that BERT and GPT replaced, trained on the same text: n-grams, word2vec, GloVe, ELMo."""
