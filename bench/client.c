// The client of the benchmark: one thread, epoll, the kernel's sockets; the same program for every server, and cheap
// enough not to be what is measured.
//   client <measure> <host> <bytes> <seconds>
// Measures: download, upload, rtt1, rtt64, deep64, connect, http64, http256, ws64, active, fair, loaded, idle, udpin, udpsegin,
// udpout;
// bytes are connections for idle and active; idle has no seconds, but the last byte of the address to come from.
// Prints one JSON line: value (Gbit/s, or per second), count, and percentiles in microseconds where they mean something.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PING = 64, MAX_SAMPLES = 1 << 22 };

static const char *host;
static char buffer[1 << 20];
static float *samples;
static size_t sample_count;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

// The socket's close sends a RST.
static void end_with_reset(int fd) {
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

// The address that connections come from, in the network of the server's; 0: what the kernel picks.
static int source;

static int open_socket(int port, int nonblocking) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
  if (fd < 0) fail("socket");
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // The kernel's default may be another one here than elsewhere.
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail(host);
  if (source) {
    struct sockaddr_in from = to;
    from.sin_port = 0;
    from.sin_addr.s_addr = htonl((ntohl(to.sin_addr.s_addr) & ~255u) | source);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0) fail("bind");
  }
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) fail("connect");
  return fd;
}

static void write_all(int fd, const void *data, size_t length) {
  for (const char *at = data; length > 0;) {
    ssize_t n = write(fd, at, length);
    if (n <= 0) fail("write");
    at += n;
    length -= n;
  }
}

static void download(uint64_t bytes) {
  int fd = open_socket(1, 0);
  uint64_t request = htobe64(bytes), got = 0;
  double begin = now();
  write_all(fd, &request, 8);
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) got += n;
  if (got != bytes) fail("download: not all came");
  printf("{\"value\":%f}\n", bytes * 8 / (now() - begin) / 1e9);
}

static void upload(uint64_t bytes) {
  int fd = open_socket(2, 0);
  double begin = now();
  for (uint64_t left = bytes; left > 0;) {
    size_t part = left < 256 << 10 ? left : 256 << 10;
    write_all(fd, buffer, part);
    left -= part;
  }
  shutdown(fd, SHUT_WR);
  if (read(fd, buffer, 1) != 1) fail("upload: no answer");
  printf("{\"value\":%f}\n", bytes * 8 / (now() - begin) / 1e9);
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void sample(double seconds) {
  if (sample_count < MAX_SAMPLES) samples[sample_count++] = seconds * 1e6;
}

static void report(double count, double took) {
  qsort(samples, sample_count, sizeof *samples, ascending);
  float p50 = sample_count ? samples[sample_count / 2] : 0;
  float p99 = sample_count ? samples[(size_t)(sample_count * 0.99)] : 0;
  printf("{\"value\":%f,\"count\":%.0f,\"p50\":%f,\"p99\":%f}\n", count / took, count, p50, p99);
}

// What a connection begins with, and waits for the end of the answer's header; null: nothing.
static const char *opening;

static void open_up(int fd) {
  if (!opening) return;
  write_all(fd, opening, strlen(opening));
  size_t length = 0;
  while (length < 4 || memcmp(buffer + length - 4, "\r\n\r\n", 4)) {
    ssize_t n = read(fd, buffer + length, 1);
    if (n <= 0 || (length += n) > 65536) fail("no answer to the opening");
  }
}

// Sends `request` on each connection, `depth` of them on their way at a time, and waits for `answer` bytes for each.
static void exchange(int port, int connections, int depth, const char *request, size_t length, size_t answer,
                     double seconds) {
  struct connection {
    int fd;
    size_t got;
    double sent;
  } *all = calloc(connections, sizeof *all);
  int epoll = epoll_create1(0);
  char *requests = malloc(length * depth);
  for (int i = 0; i < depth; i++) memcpy(requests + i * length, request, length);
  for (int i = 0; i < connections; i++) {
    all[i].fd = open_socket(port, 0);
    open_up(all[i].fd);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
  }
  double begin = now(), at = begin;
  for (int i = 0; i < connections; i++) {
    all[i].sent = now();
    write_all(all[i].fd, requests, length * depth);
  }
  uint64_t count = 0;
  struct epoll_event events[256];
  while (at - begin < seconds) {
    int n = epoll_wait(epoll, events, 256, 1000);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      ssize_t got = read(c->fd, buffer, 65536);
      if (got <= 0) fail("exchange: the peer ended");
      c->got += got;
      size_t answers = c->got / answer;
      if (answers == 0) continue;
      c->got %= answer;
      at = now();
      sample(at - c->sent);
      count += answers;
      c->sent = at;
      write_all(c->fd, requests, length * answers);
    }
    if (n == 0) at = now();
  }
  report(count, at - begin);
}

// Round trips on connections of which one in a hundred is in use, another one each time.
static void active(int connections, double seconds) {
  int *fds = calloc(connections, sizeof *fds), in_use = connections / 100, next = 0;
  double *sent = calloc(connections, sizeof *sent);
  char ping[PING] = {0};
  int epoll = epoll_create1(0);
  for (int i = 0; i < connections; i++) {
    fds[i] = open_socket(3, 0);
    end_with_reset(fds[i]);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
  }
  double begin = now(), at = begin;
  uint64_t count = 0;
  struct epoll_event events[256];
  while (at - begin < seconds) {
    int n = in_use ? 0 : epoll_wait(epoll, events, 256, 1000), start = in_use + n;
    in_use = 0;
    at = now();
    for (int i = 0; i < n; i++) {
      int done = events[i].data.u32;
      if (read(fds[done], buffer, PING) != PING) fail("active: not one answer");
      sample(at - sent[done]);
      sent[done] = 0;
      count++;
    }
    for (int i = 0; i < start; i++) {
      do next = (next + 7919) % connections;
      while (sent[next] > 0);
      sent[next] = now();
      write_all(fds[next], ping, PING);
    }
  }
  report(count, at - begin);
}

// Many downloads at once: Jain's index of what each had, without the beginning.
static void fair(int connections, double seconds) {
  struct {
    int fd;
    double got;
  } all[connections];
  int epoll = epoll_create1(0);
  uint64_t request = htobe64(1ull << 50);
  for (int i = 0; i < connections; i++) {
    all[i].fd = open_socket(1, 0);
    all[i].got = 0;
    end_with_reset(all[i].fd);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
  }
  for (int i = 0; i < connections; i++) write_all(all[i].fd, &request, 8);
  double begin = now(), at = begin;
  int warm = 0;
  struct epoll_event events[256];
  while (at - begin < seconds) {
    int n = epoll_wait(epoll, events, 256, 1000);
    for (int i = 0; i < n; i++) {
      ssize_t got = read(all[events[i].data.u32].fd, buffer, 65536);
      if (got <= 0) fail("fair: the peer ended");
      all[events[i].data.u32].got += got;
    }
    at = now();
    if (!warm && at - begin > seconds / 4) {
      warm = 1;
      for (int i = 0; i < connections; i++) all[i].got = 0;
    }
  }
  double sum = 0, squares = 0;
  for (int i = 0; i < connections; i++) {
    sum += all[i].got;
    squares += all[i].got * all[i].got;
  }
  printf("{\"value\":%f,\"gbits\":%f}\n", sum * sum / (connections * squares), sum * 8e-9 / (at - begin) / 0.75);
}

// Requests of 1 KiB, one after the other, while another connection downloads.
static void loaded(double seconds) {
  enum { REQUEST = 1024 };
  int bulk = open_socket(1, 0), fd = open_socket(3, 0), epoll = epoll_create1(0);
  end_with_reset(bulk);
  struct epoll_event of_bulk = {.events = EPOLLIN, .data.fd = bulk}, of_fd = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_ADD, bulk, &of_bulk);
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &of_fd);
  uint64_t request = htobe64(1ull << 50), count = 0, downloaded = 0;
  write_all(bulk, &request, 8);
  double begin = now(), at = begin, sent = 0;
  size_t got = 0;
  while (at - begin < seconds) {
    at = now();
    // The link fills up first.
    if (sent == 0 && at - begin > seconds / 4) {
      sent = at;
      write_all(fd, buffer, REQUEST);
    }
    struct epoll_event events[2];
    int n = epoll_wait(epoll, events, 2, 100);
    for (int i = 0; i < n; i++) {
      ssize_t length = read(events[i].data.fd, buffer, 65536);
      if (length <= 0) fail("loaded: the peer ended");
      if (events[i].data.fd == bulk) {
        downloaded += length;
        continue;
      }
      got += length;
      if (got < REQUEST) continue;
      got = 0;
      at = now();
      sample(at - sent);
      count++;
      sent = at;
      write_all(fd, buffer, REQUEST);
    }
  }
  qsort(samples, sample_count, sizeof *samples, ascending);
  if (count == 0) fail("loaded: no answer");
  printf("{\"value\":%f,\"mbits\":%f,\"worst\":%f}\n", samples[sample_count / 2] / 1e3,
         downloaded * 8e-6 / (at - begin), samples[sample_count - 1] / 1e3);
}

// Connects, reads one byte, resets; 16 at a time.
static void connections(double seconds) {
  enum { TOGETHER = 16 };
  int epoll = epoll_create1(0);
  double begin = now();
  uint64_t count = 0;
  for (int i = 0; i < TOGETHER; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = open_socket(4, 1)};
    epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
  }
  struct epoll_event events[TOGETHER];
  while (now() - begin < seconds) {
    int n = epoll_wait(epoll, events, TOGETHER, 1000);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (read(fd, buffer, 16) != 1) fail("connect: no byte");
      end_with_reset(fd);
      close(fd);
      count++;
      struct epoll_event event = {.events = EPOLLIN, .data.fd = open_socket(4, 1)};
      epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
    }
  }
  printf("{\"value\":%f,\"count\":%ju}\n", count / (now() - begin), (uintmax_t)count);
}

static int open_datagrams(int port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail(host);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
  return fd;
}

enum { TOGETHER_UDP = 32 };

// As many datagrams a call as go into `headers`, of PING bytes each.
static void prepare(struct mmsghdr *headers, struct iovec *pieces) {
  for (int i = 0; i < TOGETHER_UDP; i++) {
    pieces[i] = (struct iovec){.iov_base = buffer + i * PING, .iov_len = PING};
    headers[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &pieces[i], .msg_iovlen = 1}};
  }
}

// Sends datagrams as fast as they go; the server counts what comes to its program.
static void datagrams_in(double seconds) {
  struct mmsghdr headers[TOGETHER_UDP];
  struct iovec pieces[TOGETHER_UDP];
  prepare(headers, pieces);
  int fd = open_datagrams(5);
  double begin = now(), at = begin;
  uint64_t count = 0;
  for (; at - begin < seconds; at = now()) {
    int n = sendmmsg(fd, headers, TOGETHER_UDP, 0);
    if (n > 0) count += n;
    else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) fail("sendmmsg");
  }
  printf("{\"seconds\":%f,\"sent\":%ju}\n", at - begin, (uintmax_t)count);
}

// The same with larger ones, as many a call as a packet has room for, which the kernel hands on in one (UDP_SEGMENT).
static void segments_in(double seconds) {
  enum { SIZE = 1200, COUNT = 50, OPTION = 103 };
  int fd = open_datagrams(5), size = SIZE;
  if (setsockopt(fd, IPPROTO_UDP, OPTION, &size, sizeof size) != 0) fail("UDP_SEGMENT");
  double begin = now(), at = begin;
  uint64_t count = 0;
  for (; at - begin < seconds; at = now()) {
    ssize_t n = send(fd, buffer, SIZE * COUNT, 0);
    if (n > 0) count += n / SIZE;
    else if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) fail("send");
  }
  printf("{\"seconds\":%f,\"sent\":%ju}\n", at - begin, (uintmax_t)count);
}

// Asks for datagrams for so long, and counts what comes.
static void datagrams_out(double seconds) {
  struct mmsghdr headers[TOGETHER_UDP];
  struct iovec pieces[TOGETHER_UDP];
  prepare(headers, pieces);
  int fd = open_datagrams(6), room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  struct timeval silence = {.tv_usec = 500000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
  char request[16];
  write_all(fd, request, snprintf(request, sizeof request, "%d", (int)(seconds * 1000)));
  uint64_t count = 0;
  double begin = 0, at = 0;
  for (;;) {
    int n = recvmmsg(fd, headers, TOGETHER_UDP, MSG_WAITFORONE, NULL);
    if (n <= 0) break;
    at = now();
    if (begin == 0) begin = at;
    count += n;
  }
  if (count < 2) fail("udpout: nothing came");
  printf("{\"value\":%f,\"count\":%ju}\n", count / (at - begin), (uintmax_t)count);
}

// Opens connections, says so, and holds them until its standard input ends.
static void idle(int connections) {
  // No TIME-WAIT: the next round needs the ports.
  for (int i = 0; i < connections; i++) end_with_reset(open_socket(3, 0));
  printf("{\"value\":%d}\n", connections);
  fflush(stdout);
  while (read(0, buffer, 1) > 0);
}

// Length of one HTTP answer: a request is sent and what comes in the next moment is it.
static size_t probe(int port, const char *request) {
  int fd = open_socket(port, 0);
  write_all(fd, request, strlen(request));
  size_t length = 0;
  for (;;) {
    ssize_t n = read(fd, buffer + length, 65536);
    if (n <= 0) fail("http: no answer");
    length += n;
    char *end = memmem(buffer, length, "\r\n\r\n", 4), *field = strcasestr(buffer, "content-length: ");
    if (end && field && length >= (size_t)(end - buffer) + 4 + atoi(field + 16)) break;
  }
  close(fd);
  return length;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  const char *measure = argv[1];
  host = argv[2];
  uint64_t bytes = strtoull(argv[3], 0, 10);
  double seconds = atof(argv[4]);
  samples = malloc(MAX_SAMPLES * sizeof *samples);
  char ping[PING];
  memset(ping, 'p', PING);
  if (!strcmp(measure, "download")) download(bytes);
  else if (!strcmp(measure, "upload")) upload(bytes);
  else if (!strcmp(measure, "rtt1")) exchange(3, 1, 1, ping, PING, PING, seconds);
  else if (!strcmp(measure, "rtt64")) exchange(3, 64, 1, ping, PING, PING, seconds);
  else if (!strcmp(measure, "deep64")) exchange(3, 64, 16, ping, PING, PING, seconds);
  else if (!strcmp(measure, "connect")) connections(seconds);
  else if (!strcmp(measure, "http64") || !strcmp(measure, "http256")) {
    const char *get = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
    exchange(80, atoi(measure + 4), 1, get, strlen(get), probe(80, get), seconds);
  } else if (!strcmp(measure, "ws64")) {
    opening = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    // One frame each way (RFC 6455 section 5.2): final, binary; ours masked, by a key of zeros.
    char frame[6 + PING] = {(char)0x82, (char)(0x80 | PING)};
    exchange(81, 64, 1, frame, sizeof frame, 2 + PING, seconds);
  } else if (!strcmp(measure, "active")) active(bytes, seconds);
  else if (!strcmp(measure, "fair")) fair(100, seconds);
  else if (!strcmp(measure, "loaded")) loaded(seconds);
  else if (!strcmp(measure, "udpin")) datagrams_in(seconds);
  else if (!strcmp(measure, "udpsegin")) segments_in(seconds);
  else if (!strcmp(measure, "udpout")) datagrams_out(seconds);
  else if (!strcmp(measure, "idle")) {
    source = seconds;
    idle((int)bytes);
  }
  else return 2;
  return 0;
}
