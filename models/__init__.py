"""The mathematics of netspace: tensors in, tensors out; no files, no devices, no global randomness.

Rooms, in the order in which they may import each other: wording, errors, problems, network_io, parameters,
architectures, second_order, heads, backbones, space_model, training.
"""
