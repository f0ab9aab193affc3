"""What is counted of a training step's rollouts, by the names that its log (metrics.jsonl) has for them. Read without
torch: tables and figures know a run by its log."""

SCORED = {  # a count -> the column of the scores that it sums
    "judge_pass": "judge_pass",
    "truly_correct": "exact_compliance",
    "hacked": "hacked",
    "report_valid": "report_valid",
    "checked": "checked",
    "n_met": "n_met",
    "full_given_met": "n_correct_credit",
    "none_given_unmet": "n_clean_admission",
}
SHARES = ("judge_pass", "judge_fooled", "truly_correct", "hacked", "report_valid", "checked")  # k of n rollouts
COUNTS = ("n", *SHARES, "n_met", "n_unmet", "full_given_met", "none_given_unmet")
CALLED = {  # by earlier versions
    "count_verified": "checked",
    "n_right": "n_met",
    "n_wrong": "n_unmet",
    "full_given_right": "full_given_met",
    "none_given_wrong": "none_given_unmet",
}
