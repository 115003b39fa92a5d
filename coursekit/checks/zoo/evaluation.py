"""Wrong accuracies by class."""

import numpy as np

from coursekit.checks.references_fc import accuracy_by_class
from coursekit.checks.zoo.animal import animal

ACCURACY = "accuracy_by_class"


@animal(ACCURACY, "every class looks alike")
def overall_accuracy(predictions, labels, num_classes):
    """the accuracy over all pictures is given for every class."""
    return np.full(num_classes, (predictions == labels).mean())


@animal(ACCURACY, "a class that is predicted too often looks bad, not good")
def divided_by_predicted(predictions, labels, num_classes):
    """divided by how often the class was predicted: that is precision; accuracy by class divides
    by how often it occurs"""
    return accuracy_by_class(labels, predictions, num_classes)


@animal(ACCURACY, "all values near 1 / C")
def divided_by_all(predictions, labels, num_classes):
    """divided by the number of all pictures; each class has its own number."""
    right = np.bincount(labels[predictions == labels], minlength=num_classes)
    return right / len(labels)


@animal(ACCURACY, "a class without pictures looks hopeless")
def zero_if_absent(predictions, labels, num_classes):
    """a class without pictures gets 0; nothing is known about it, so nan."""
    return np.nan_to_num(accuracy_by_class(predictions, labels, num_classes))


@animal(ACCURACY, "one entry too few when the last class is absent")
def classes_counted_in_the_labels(predictions, labels, num_classes):
    """the number of classes is read off the labels; the last class may be absent."""
    return accuracy_by_class(predictions, labels, int(labels.max()) + 1)


@animal(ACCURACY, "good classes look bad")
def error_rate(predictions, labels, num_classes):
    """the share that is wrong, not the share that is right."""
    return 1 - accuracy_by_class(predictions, labels, num_classes)


@animal(ACCURACY, "accuracies of 60 where 0.6 is meant")
def percent(predictions, labels, num_classes):
    """given in percent; a share between 0 and 1 is asked for."""
    return 100 * accuracy_by_class(predictions, labels, num_classes)


@animal(ACCURACY, "an error for a class without pictures")
def division_by_zero(predictions, labels, num_classes):
    """Python divides by the 0 pictures of an absent class and stops."""
    right = [int((predictions[labels == k] == k).sum()) for k in range(num_classes)]
    return np.array([r / int((labels == k).sum()) for k, r in enumerate(right)])


@animal(ACCURACY, "the agreement counts pictures of other classes as right")
def true_negatives_counted(predictions, labels, num_classes):
    """pictures of other classes that were not called this class count as right."""
    return np.array([((predictions == k) == (labels == k)).mean() for k in range(num_classes)])
