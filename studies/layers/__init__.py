"""From which layer of a source should one start? Scores of layers against decoders on each."""
