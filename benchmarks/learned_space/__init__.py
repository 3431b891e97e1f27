"""A space of datasets and networks that is trained contrastively on outcomes: compared, and not shipped.

With outcomes of 39 supernets on 56 datasets it ranks worse, and predicts worse, than the Gaussian process
that ships (`snt_zoo.encoders.predictor`; docs/predictor.md). What it needs is more of both.
"""
