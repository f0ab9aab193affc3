"""How an experiment becomes jobs: its parts and paths, the stages that the rules call, the plan, what is verified.

Only this folder and the command line know the workflow.
"""
