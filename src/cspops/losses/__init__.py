"""The losses: pairs make scores, objectives turn scores into a number, `csp` is the table that joins them.

Everything here takes plain tensors and keywords:

    >>> from cspops.losses import csp
    >>> parts = csp.mc_loss(loc_emb, image_emb, neg_loc_emb=neg, loc_emb_2=again, terms="BLD")
    >>> parts["total"].backward()
"""
