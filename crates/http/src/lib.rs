//! What both HTTP faces share: problems, callers, pages and limits.
