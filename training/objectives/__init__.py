"""What a family is trained to predict: rows in, padded arrays out; NumPy and numba, no torch.

An objective is a frozen dataclass of numbers; called with a RowBatch of N rows and one 64-bit key per row, it returns `Examples`:

    causal_lm        inputs, targets (N, T); with document boundaries also documents, positions (N, T)
    masked_lm        inputs, segments (N, T), lengths (N,), masked_positions, targets (N, P), next_sentence (N,)
    text_infilling   inputs (N, S), lengths (N,), decoder_inputs, targets (N, T)
    span_corruption  the same, as have ul2 and text_to_text

Ids and positions are int64. `targets` are padded with IGNORE, ids with the family's pad. `lengths` counts the real tokens of
`inputs`. `counts(examples)` returns by how many predictions each term of the loss is divided: {"tokens": …} and, with
sentence pairs, {"pairs": …}. Draws are functions of the row's key: see training/data/draws.py.
"""
