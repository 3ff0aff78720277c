"""Kernels: what `features` tells the model of each block, a group of columns a file.

A file with columns has NAMES and `write(out, at, ...)`, which writes the values of NAMES, in their order, from column `at` of
every row, and returns the column after them.
"""
