"""From a figure that orders answers to a probability that one is good, fitted by a fleet that shows nobody its answers.

The map is p = 1 / (1 + exp(-(slope * log-odds of the figure + offset))): two numbers, of which 1 and 0 change nothing (Cox 1958, "Two
further applications of a model for binary regression"; Platt 1999 for scores of classifiers; temperature scaling, Guo et al. 2017, is the
offset of 0). With a slope above 0 it keeps the order, so that it moves bars, and judges no two answers the other way round.

    device                                        hub and operator
    answers that were called good or bad
    -> sums.py: a vector of bounded length ------> secure sums by cohort, with or without noise
                                                  -> cohorts.py: which of them may be added up
    maps.py: a signed file says which <---------- -> fitting.py: the next map

Why this: what the labels of a logistic map say is in two sums (of `good`, and of `good` times the log-odds: it is an exponential family),
and what the figures say is how many fell into each range. All of it adds up, so one secure sum is as good as having all answers in one
place. A histogram of good and bad in each range, for isotonic regression, adds up too, but there a device can change the sum by all its
answers, and so much is the noise that hides it. Here a device reports by how much its answers were better or worse than the map in force
says, which is near nothing for honest ones once that map is near right. So it can be clipped close, as updates are in federated averaging
(McMahan et al. 2018, "Learning differentially private recurrent language models"), and with it both the noise and what one device with
nonsense in it can do. The price: from a map that is far off, it takes several windows to get there.
"""
