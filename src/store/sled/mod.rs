//! In: the store's seam. Out: an embedded sled database. Absent: anything that knows what an event means.
