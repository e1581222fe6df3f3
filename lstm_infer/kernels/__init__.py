"""All compiled code of the package, and the only importer of Numba.

Kernels take arrays and numbers and write into arrays they are given (outputs last). They know nothing of layers, models
or files, and check nothing: whoever calls them has. Every product starts at the bias and adds its terms in ascending
order, one accumulator per output element, so that results are the same bits whatever the batch.
"""
