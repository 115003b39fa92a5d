"""Wrong Monte-Carlo dropout and wrong calibration errors."""

import numpy as np

from coursekit.checks.references_dropout import (
    expected_calibration_error,
    mc_dropout,
)
from coursekit.checks.zoo.animal import animal

MC, ECE = "mc_dropout", "expected_calibration_error"

# --- Monte-Carlo dropout: (logits_of, x, samples) -> probabilities (N, C) ----------------------


def _softmax(logits, axis=-1):
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _samples(logits_of, x, samples):
    """All logits, (samples, N, C)."""
    return np.stack([logits_of(x) for _ in range(samples)])


@animal(MC, "too sure: the disagreement between passes is averaged away first")
def softmax_of_the_mean_logits(logits_of, x, samples):
    """the softmax of the mean logits; it is the mean of the softmaxes."""
    return _softmax(_samples(logits_of, x, samples).mean(axis=0))


@animal(MC, "results as noisy as those of a single pass")
def one_sample(logits_of, x, samples):
    """a single pass, whatever samples is; logits_of has to be called for each."""
    return mc_dropout(logits_of, x, 1)


@animal(MC, "one pass fewer than asked for")
def one_call_short(logits_of, x, samples):
    """the first pass is made outside the loop, and the loop makes too few."""
    return mc_dropout(logits_of, x, max(samples - 1, 1))


@animal(MC, "one pass more than asked for")
def one_call_too_many(logits_of, x, samples):
    """logits_of is called once more than samples, to find out the shape."""
    logits_of(x)
    return mc_dropout(logits_of, x, samples)


@animal(MC, "logits where probabilities are needed")
def mean_logits(logits_of, x, samples):
    """the mean of the logits, without a softmax."""
    return _samples(logits_of, x, samples).mean(axis=0)


@animal(MC, "all or nothing, where passes agree")
def votes(logits_of, x, samples):
    """each pass votes for its best class; average the probabilities, not the votes."""
    logits = _samples(logits_of, x, samples)
    return np.eye(x.shape[1])[logits.argmax(axis=2)].mean(axis=0)


@animal(MC, "rows that sum to less than 1")
def geometric_mean(logits_of, x, samples):
    """log-probabilities are averaged, a geometric mean; average the probabilities."""
    log_p = np.log(_softmax(_samples(logits_of, x, samples)))
    return np.exp(log_p.mean(axis=0))


@animal(MC, "rows that do not sum to 1")
def median(logits_of, x, samples):
    """the median over the passes; it is the mean that sums to 1."""
    return np.median(_softmax(_samples(logits_of, x, samples)), axis=0)


@animal(MC, "rows that sum to the number of passes")
def sum_of_the_passes(logits_of, x, samples):
    """the probabilities are added up and not divided by samples."""
    return samples * mc_dropout(logits_of, x, samples)


@animal(MC, "columns that sum to 1, rows that do not")
def mc_softmax_over_the_batch(logits_of, x, samples):
    """softmax over axis 0, the batch, instead of over the classes."""
    return _softmax(_samples(logits_of, x, samples), axis=1).mean(axis=0)


@animal(MC, "nan as soon as a logit passes 700")
def mc_softmax_unshifted(logits_of, x, samples):
    """softmax without subtracting the row's maximum first, so that exp overflows."""
    e = np.exp(_samples(logits_of, x, samples))
    return (e / e.sum(axis=2, keepdims=True)).mean(axis=0)


@animal(MC, "all passes side by side, an axis too many")
def passes_not_averaged(logits_of, x, samples):
    """the probabilities of all passes come back; average them over the passes."""
    return _softmax(_samples(logits_of, x, samples))


@animal(MC, "one number for each pass and class: the batch is gone")
def averaged_over_the_batch(logits_of, x, samples):
    """the mean runs over the batch; it runs over the passes."""
    return _softmax(_samples(logits_of, x, samples)).mean(axis=1)


# --- expected calibration error: (probabilities, labels, bins) -> number ------------------------


def _bins(probabilities, labels, bins, **bugs):
    """Weight and gap of each bin that is not empty, with a place for each bug."""
    bug = {
        "confidence": probabilities.max(axis=1),
        "right": probabilities.argmax(axis=1) == labels,
        "bin_of": lambda c: np.ceil(c * bins).astype(int) - 1,
        "expected": lambda c, b: c.mean(),
    } | bugs
    confidence, right = bug["confidence"], bug["right"]
    bin_of = bug["bin_of"](confidence)
    weights, gaps = [], []
    for b in range(bins):
        inside = bin_of == b
        if inside.any():
            weights.append(inside.mean())
            gaps.append(right[inside].mean() - bug["expected"](confidence[inside], b))
    return np.array(weights), np.array(gaps)


def _weighted(probabilities, labels, bins, **bugs):
    weights, gaps = _bins(probabilities, labels, bins, **bugs)
    return float((weights * np.abs(gaps)).sum())


@animal(ECE, "bins with two rows count as much as bins with thousands")
def bins_weigh_the_same(probabilities, labels, bins=10):
    """the gaps are averaged over the bins; a bin weighs as much as it has rows."""
    return float(np.abs(_bins(probabilities, labels, bins)[1]).mean())


@animal(ECE, "the error shrinks the more bins are empty")
def empty_bins_count(probabilities, labels, bins=10):
    """the gaps are divided by the number of bins, empty ones included; weigh by rows."""
    return float(np.abs(_bins(probabilities, labels, bins)[1]).sum() / bins)


@animal(ECE, "nan wherever a bin is empty")
def mean_of_an_empty_bin(probabilities, labels, bins=10):
    """the mean of an empty bin is nan; leave empty bins out."""
    confidence = probabilities.max(axis=1)
    right, bin_of = probabilities.argmax(axis=1) == labels, np.ceil(confidence * bins) - 1
    gaps = [
        (bin_of == b).mean() * abs(right[bin_of == b].mean() - confidence[bin_of == b].mean())
        for b in range(bins)
    ]
    return float(sum(gaps))


@animal(ECE, "over- and underconfidence cancel")
def gaps_with_their_signs(probabilities, labels, bins=10):
    """the gaps keep their signs and cancel; take absolute values."""
    weights, gaps = _bins(probabilities, labels, bins)
    return float((weights * gaps).sum())


@animal(ECE, "over- and underconfidence cancel")
def gap_of_the_means(probabilities, labels, bins=10):
    """mean confidence against accuracy, over all rows at once; take it bin by bin."""
    right = probabilities.argmax(axis=1) == labels
    return float(abs(right.mean() - probabilities.max(axis=1).mean()))


@animal(ECE, "large gaps count more than they should")
def squared_gaps(probabilities, labels, bins=10):
    """the gaps are squared; take absolute values."""
    weights, gaps = _bins(probabilities, labels, bins)
    return float((weights * gaps**2).sum())


@animal(ECE, "one bad bin decides")
def largest_gap(probabilities, labels, bins=10):
    """the largest gap, which is the maximum calibration error; the expected one averages."""
    return float(np.abs(_bins(probabilities, labels, bins)[1]).max())


@animal(ECE, "a net looks underconfident whenever it is wrong")
def confidence_in_the_true_class(probabilities, labels, bins=10):
    """confidence is taken to be the true class's probability; it is the largest one."""
    confidence = probabilities[np.arange(len(labels)), labels]
    return _weighted(probabilities, labels, bins, confidence=confidence)


@animal(ECE, "the bins that were asked for have no effect")
def always_ten_bins(probabilities, labels, bins=10):
    """there are always 10 bins, whatever was asked for."""
    return expected_calibration_error(probabilities, labels, 10)


@animal(ECE, "confidences on an edge, 1.0 among them, fall into the next bin")
def left_closed_bins(probabilities, labels, bins=10):
    """bins are closed on the left, so that a confidence of exactly 1 belongs to none; close them
    on the right"""
    return _weighted(probabilities, labels, bins, bin_of=lambda c: (c * bins).astype(int))


@animal(ECE, "confidences on an edge fall into the next bin")
def left_closed_but_the_last(probabilities, labels, bins=10):
    """bins are closed on the left, with 1 put into the last one; close them on the right."""
    return _weighted(
        *(probabilities, labels, bins), bin_of=lambda c: (c * bins).astype(int).clip(max=bins - 1)
    )


@animal(ECE, "every bin is half a bin off")
def rounded_to_the_nearest_edge(probabilities, labels, bins=10):
    """np.round puts a confidence to its nearest edge; its bin ends at the edge above it."""
    return _weighted(
        *(probabilities, labels, bins), bin_of=lambda c: np.round(c * bins).astype(int) - 1
    )


@animal(ECE, "right on average, off by up to half a bin")
def middle_of_the_bin(probabilities, labels, bins=10):
    """a bin's confidence is taken to be its middle; it is the mean of what fell into it."""
    return _weighted(probabilities, labels, bins, expected=lambda c, b: (b + 0.5) / bins)


@animal(ECE, "an error that grows with the number of rows")
def not_divided_by_the_rows(probabilities, labels, bins=10):
    """a bin is weighted by its number of rows; it should be its share."""
    return len(labels) * expected_calibration_error(probabilities, labels, bins)


@animal(ECE, "sparse regions hide in wide bins")
def bins_of_equal_size(probabilities, labels, bins=10):
    """bins hold equally many rows; here they have equal width."""
    ranks = np.argsort(np.argsort(probabilities.max(axis=1), kind="stable"), kind="stable")
    return _weighted(probabilities, labels, bins, bin_of=lambda c: ranks * bins // len(ranks))


@animal(ECE, "every row is its own bin")
def gap_of_every_row(probabilities, labels, bins=10):
    """the absolute value is taken row by row; average within a bin first."""
    right = probabilities.argmax(axis=1) == labels
    return float(np.abs(right - probabilities.max(axis=1)).mean())


@animal(ECE, "percent where a share is asked for")
def in_percent(probabilities, labels, bins=10):
    """the result is in percent; it should be a share."""
    return 100 * expected_calibration_error(probabilities, labels, bins)
