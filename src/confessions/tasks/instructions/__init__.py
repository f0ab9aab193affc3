"""Texts under requirements that are met some of the time: kinds of requirement in three parts, levels, a checklist."""
