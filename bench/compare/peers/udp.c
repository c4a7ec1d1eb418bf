// udp PORT SOCKETS WINDOW BYTES SECONDS: keeps WINDOW datagrams in flight on each of so many sockets to an echo server on the loopback, and counts
// for so long those that come back. All must: the server's receive buffer has room for 200 short ones. It prints figures as JSON. Build: cc -O2.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { MAX_WINDOW = 64 };

static struct mmsghdr messages[MAX_WINDOW];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void send_messages(int fd, int n) {
    if (sendmmsg(fd, messages, n, 0) != n) fail("sendmmsg");
}

int main(int argc, char **argv) {
    if (argc != 6 || atoi(argv[3]) > MAX_WINDOW) {
        fprintf(stderr, "usage: udp PORT SOCKETS WINDOW BYTES SECONDS\n");
        return 2;
    }
    int sockets = atoi(argv[2]), window = atoi(argv[3]), size = atoi(argv[4]);
    double seconds = atof(argv[5]);
    struct iovec part = {.iov_base = calloc(1, size), .iov_len = size};
    for (int i = 0; i < window; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int epoll = epoll_create1(0);
    for (int i = 0; i < sockets; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server)) fail("connect");
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) fail("epoll_ctl");
        send_messages(fd, window);
    }
    double start = 0, end = 0;
    long echoes = 0;
    for (int flying = sockets * window; flying > 0;) {
        struct epoll_event events[512];
        int ready = epoll_wait(epoll, events, 512, 1000);
        if (ready == 0) {
            fprintf(stderr, "udp: %d datagrams are lost\n", flying);
            return 1;
        }
        double t = now();
        if (start == 0) start = t;
        if (end == 0 && t - start >= seconds) end = t;
        for (int i = 0; i < ready; i++) {
            int n = recvmmsg(events[i].data.fd, messages, window, MSG_DONTWAIT, NULL);
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (n < 0) fail("recvmmsg");
            if (end != 0) {
                flying -= n;
                continue;
            }
            echoes += n;
            send_messages(events[i].data.fd, n);
        }
    }
    printf("{\"operations\":%ld,\"seconds\":%f}\n", echoes, end - start);
}
