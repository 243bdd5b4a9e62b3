"""The stage of causes: analyses of `causes/` on the files, data and models of a study."""
