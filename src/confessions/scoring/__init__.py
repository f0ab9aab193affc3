"""What is found about a rollout once it is there: the weak judge's verdict, the truth, the classes of the claims.

Nothing here is summed up.
"""
