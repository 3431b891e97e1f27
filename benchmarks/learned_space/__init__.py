"""A space of datasets and networks that is trained contrastively on outcomes: compared, and not shipped.

With outcomes of 39 supernets on 60 datasets it ranks as well as the Gaussian process that ships
(`snt_zoo.encoders.predictor`), and predicts worse (docs/predictor.md); so the simpler one ships.
"""
