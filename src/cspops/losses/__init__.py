"""The losses, on plain tensors with settings as keywords.

| module       | what                                                                                             |
|--------------|--------------------------------------------------------------------------------------------------|
| `csp`        | `mc_loss` (Eq. 4), `nce_loss` (Eq. 3): the table of pairs, objectives, weights, temperatures     |
| `objectives` | scores of pairs to a number: `nce` (Eq. 1), `mc` (Eq. 2), `mse`                                 |
| `finetuning` | Eq. 5 in blocks of classes, the released weighting; cross-entropy and focal loss                 |
| `image`      | Tile2Vec's triplet; GeoKR: shares of land cover, and agreement with a teacher                    |

    >>> from cspops.losses import csp
    >>> parts = csp.mc_loss(loc_emb, image_emb, neg_loc_emb=neg, loc_emb_2=again, terms="BLD")
    >>> parts["total"].backward()
"""
