// nop.c: no-op operations through a ring in batches of 32, in C on liburing. Prints operations and seconds as JSON.
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	struct io_uring ring;
	struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
	if (io_uring_queue_init_params(256, &ring, &params) < 0)
		return 1;
	long operations = 0, sum = 0;
	double start = now();
	while (now() - start < seconds) {
		for (int round = 0; round < 1000; round++) {
			for (int i = 0; i < 32; i++) {
				struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
				io_uring_prep_nop(sqe);
				sqe->user_data = i;
			}
			if (io_uring_submit_and_wait(&ring, 32) < 0)
				return 1;
			struct io_uring_cqe *cqe;
			unsigned head, count = 0;
			io_uring_for_each_cqe(&ring, head, cqe) {
				sum += cqe->user_data;
				count++;
			}
			io_uring_cq_advance(&ring, count);
			operations += count;
		}
	}
	printf("{\"operations\":%ld,\"seconds\":%f,\"sum\":%ld}\n", operations, now() - start, sum);
	return 0;
}
