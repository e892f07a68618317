// The server of the benchmark in C, over the kernel's sockets: one thread, epoll. What is left to gain beside Node.
// Ports 1 to 4 as in server.mjs. Says "listening" when it does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
  int fd, port, listens;
  uint64_t left;
};

static char buffer[256 << 10];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int epoll, int operation, struct connection *c, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  epoll_ctl(epoll, operation, c->fd, &event);
}

static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 1024) != 0) fail("listen");
  return fd;
}

static void end(struct connection *c) {
  close(c->fd);
  free(c);
}

static void accept_all(int epoll, struct connection *listener) {
  for (int fd; (fd = accept4(listener->fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    struct connection *c = calloc(1, sizeof *c);
    *c = (struct connection){.fd = fd, .port = listener->port};
    if (c->port == 4 && write(fd, "k", 1) != 1) {
      end(c);
      continue;
    }
    watch(epoll, EPOLL_CTL_ADD, c, EPOLLIN);
  }
}

static void write_all(int fd, const char *data, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, data, length);
    if (n < 0 && errno != EAGAIN) return;
    if (n < 0) {
      poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 1000);
      continue;
    }
    data += n;
    length -= n;
  }
}

static void give(struct connection *c) {
  while (c->left > 0) {
    ssize_t n = write(c->fd, buffer, c->left < sizeof buffer ? c->left : sizeof buffer);
    if (n < 0) {
      if (errno != EAGAIN) end(c);
      return;
    }
    c->left -= n;
  }
  end(c);
}

static void take(int epoll, struct connection *c) {
  ssize_t n = read(c->fd, buffer, sizeof buffer);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    if (n == 0 && c->port == 2) write_all(c->fd, "k", 1);
    end(c);
  } else if (c->port == 3) {
    write_all(c->fd, buffer, n);
  } else if (c->port == 1 && n >= 8) {
    uint64_t request;
    memcpy(&request, buffer, 8);
    c->left = be64toh(request);
    watch(epoll, EPOLL_CTL_MOD, c, EPOLLOUT);
  }
}

int main(void) {
  int epoll = epoll_create1(0);
  for (int port = 1; port <= 4; port++) {
    struct connection *c = calloc(1, sizeof *c);
    *c = (struct connection){.fd = listen_on(port), .port = port, .listens = 1};
    watch(epoll, EPOLL_CTL_ADD, c, EPOLLIN);
  }
  puts("listening");
  fflush(stdout);
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (c->listens) accept_all(epoll, c);
      else if (events[i].events & EPOLLERR) end(c);
      else if (events[i].events & EPOLLOUT) give(c);
      else take(epoll, c);
    }
  }
}
