// load PORT CONNECTIONS BYTES SECONDS: keeps one message in flight on each of so many loopback connections to an echo server, waits until
// all have had an answer, and then counts round trips for so long. It prints figures as JSON. Build: cc -O2.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
    int fd;
    int got;  // bytes of the answer
    int answered;
};

static int size;
static char *message, *buffer;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// The message is shorter than what the socket takes at once when nothing else is in flight.
static void send_message(struct conn *c) {
    ssize_t n = write(c->fd, message, size);
    if (n != size) fail("write");
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: load PORT CONNECTIONS BYTES SECONDS\n");
        return 2;
    }
    int n = atoi(argv[2]), one = 1;
    size = atoi(argv[3]);
    double seconds = atof(argv[4]);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)n + 64) {
        limit.rlim_cur = n + 64;
        if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
        if (setrlimit(RLIMIT_NOFILE, &limit)) fail("setrlimit");
    }
    message = calloc(1, size);
    buffer = malloc(1 << 16);
    struct conn *conns = calloc(n, sizeof *conns);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int epoll = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        struct conn *c = &conns[i];
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof server)) fail("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e)) fail("epoll_ctl");
    }
    for (int i = 0; i < n; i++) send_message(&conns[i]);
    double start = 0;
    long trips = 0;
    for (int waiting = n;;) {
        struct epoll_event events[512];
        int ready = epoll_wait(epoll, events, 512, 1000);
        if (ready == 0) {
            fprintf(stderr, "load: no answer\n");
            return 1;
        }
        double t = now();
        if (waiting == 0 && start == 0) start = t, trips = 0;
        if (start != 0 && t - start >= seconds) {
            printf("{\"operations\":%ld,\"seconds\":%f}\n", trips, t - start);
            return 0;
        }
        for (int i = 0; i < ready; i++) {
            struct conn *c = events[i].data.ptr;
            ssize_t r = read(c->fd, buffer, 1 << 16);
            if (r < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (r <= 0) fail("read");
            c->got += r;
            if (c->got < size) continue;
            c->got = 0;
            trips++;
            if (!c->answered) c->answered = 1, waiting--;
            send_message(c);
        }
    }
}
