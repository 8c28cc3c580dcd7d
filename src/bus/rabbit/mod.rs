//! In: the bus's seam. Out: RabbitMQ by lapin. Absent: what a message means.
