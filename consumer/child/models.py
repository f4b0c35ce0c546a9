def require(models):
    pass
