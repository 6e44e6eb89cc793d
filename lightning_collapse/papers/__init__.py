"""Papers as checks: published claims, each a plan, a statistic and a rule.

`claims` has one file a claim, `claim` what a claim is made of, `judging` turns what was measured
into verdicts, `running` takes claims one after the other, `figure` and `table` show them.
"""
