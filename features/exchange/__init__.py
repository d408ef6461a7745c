"""Tables that agencies and the Commission exchange: ranked lists, targets, field results, QUAP tables."""
