"""Which score names the source that transfers best, from labelled or unlabelled images?"""
