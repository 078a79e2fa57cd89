"""The losses, on plain tensors with settings as keywords.

| module             | what                                                                                          |
|--------------------|-----------------------------------------------------------------------------------------------|
| `csp`              | `mc_loss` (Eq. 4), `nce_loss` (Eq. 3): the table of pairs, objectives, weights, temperatures   |
| `pairs`            | which embeddings are compared: positive and negative scores                                   |
| `objectives`       | scores to a number: `nce` (Eq. 1), `mc` (Eq. 2), `mse`                                        |
| `contrast`         | the same for whole batches, without copies of the scores; what `csp` calls                    |
| `presence_absence` | Eq. 5, the same in blocks of classes, and the released weighting                              |
| `location_classes` | cross-entropy and focal loss over the classes at a place                                      |
| `triplet`          | Tile2Vec: an anchor nearer to its neighbour than to a distant tile                             |
| `land_cover`       | GeoKR: shares of land cover, and agreement with a teacher                                      |

    >>> from cspops.losses import csp
    >>> parts = csp.mc_loss(loc_emb, image_emb, neg_loc_emb=neg, loc_emb_2=again, terms="BLD")
    >>> parts["total"].backward()
"""
