//! What travels: the flag model, its checks, the signed envelope, the compiled form.

mod json;
