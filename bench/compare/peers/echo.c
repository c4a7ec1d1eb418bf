// echo: an echo server in C on liburing, one loop, as fast as one can be: multishot accept and receive, a ring of provided buffers, deferred task
// work. It prints its port and serves until standard input ends. Build: cc -O2 -luring.
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFERS = 4096, BYTES = 2048, GROUP = 0 };
enum kind { ACCEPT, RECEIVE, SEND, END };

static struct io_uring ring;
static struct io_uring_buf_ring *pool;
static char *memory;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static struct io_uring_sqe *submission(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe) return sqe;
    io_uring_submit(&ring);
    return io_uring_get_sqe(&ring);
}

static void mark(struct io_uring_sqe *sqe, enum kind kind, int fd, int buffer) {
    sqe->user_data = (unsigned long)buffer << 40 | (unsigned long)fd << 8 | kind;
}

static void receive(int fd) {
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    mark(sqe, RECEIVE, fd, 0);
}

static void give_back(int buffer) {
    io_uring_buf_ring_add(pool, memory + buffer * BYTES, BYTES, buffer, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(pool, 1);
}

static void handle(struct io_uring_cqe *cqe) {
    int fd = cqe->user_data >> 8 & 0xffffffff, one = 1;
    struct io_uring_sqe *sqe;
    switch (cqe->user_data & 0xff) {
    case ACCEPT:
        if (cqe->res < 0) break;
        setsockopt(cqe->res, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        receive(cqe->res);
        break;
    case RECEIVE:
        if (cqe->res > 0) {
            int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
            sqe = submission();
            io_uring_prep_send(sqe, fd, memory + buffer * BYTES, cqe->res, MSG_WAITALL);
            mark(sqe, SEND, fd, buffer);
            if (!(cqe->flags & IORING_CQE_F_MORE)) receive(fd);
        } else if (cqe->res == -ENOBUFS) {
            receive(fd);
        } else {
            close(fd);
        }
        break;
    case SEND:
        give_back(cqe->user_data >> 40);
        break;
    case END:
        exit(0);
    }
}

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t length = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&at, &length)) fail("getsockname");
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = 16384,
    };
    if ((errno = -io_uring_queue_init_params(2048, &ring, &params))) fail("io_uring");
    memory = malloc((size_t)BUFFERS * BYTES);
    if (!memory || posix_memalign((void **)&pool, 4096, BUFFERS * sizeof(struct io_uring_buf))) fail("buffers");
    struct io_uring_buf_reg group = {.ring_addr = (unsigned long)pool, .ring_entries = BUFFERS, .bgid = GROUP};
    if ((errno = -io_uring_register_buf_ring(&ring, &group, 0))) fail("buffers");  // liburing 2.4 has a function for all this
    io_uring_buf_ring_init(pool);
    for (int i = 0; i < BUFFERS; i++) give_back(i);
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    mark(sqe, ACCEPT, listener, 0);
    static char end;
    sqe = submission();
    io_uring_prep_read(sqe, 0, &end, 1, -1);
    mark(sqe, END, 0, 0);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        io_uring_submit_and_wait(&ring, 1);
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            handle(cqe);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
