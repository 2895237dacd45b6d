"""Models under the verbs of other libraries: scikit-learn's fit and predict, River's learn_one."""
