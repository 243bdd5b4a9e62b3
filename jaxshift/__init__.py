"""jaxshift: what did tuning do to my model?"""
