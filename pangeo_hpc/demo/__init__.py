"""The main job on sample data: a multi-model ensemble from many files to a picture and a report."""
