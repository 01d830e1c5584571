//! What decides: context, conditions, bucketing, the order of precedence, reasons.
