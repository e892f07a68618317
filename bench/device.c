// What a TUN alone allows, with no TCP behind it: the limit of every row beside which it is printed.
//   device read [plain] SECONDS    the kernel sends large TCP segments out of the interface as fast as it can; all are read
//   device write [plain] SECONDS   large TCP segments are written, and dropped by the kernel's routing
//   device echo plain SECONDS      64-byte datagrams of a kernel socket are sent back, one at a time
// `plain`: without the offload header, so that each packet is one of 1,500 bytes. Prints {"value": Gbit/s of TCP payload, or
// round trips a second, "seconds": of measuring, "p50": us}. In a network namespace where it may make an interface.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MSS = 1448, SEGMENTS = 44, HEADERS = 20 + 32, MAX_ECHOES = 1 << 20 };

static const char *NAME = "bench-device";
static atomic_int done;
static int device;
static int plain;
static int ifindex;

static void must(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "device: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static uint16_t checksum(const uint8_t *bytes, int len) {
    uint32_t sum = 0;
    for (int i = 0; i + 1 < len; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static void open_device(void) {
    device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    must(device >= 0, "/dev/net/tun");
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | (plain ? 0 : IFF_VNET_HDR)};
    strncpy(ifr.ifr_name, NAME, IFNAMSIZ - 1);
    must(ioctl(device, TUNSETIFF, &ifr) == 0, "TUNSETIFF");
    if (!plain) must(ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) == 0, "TUNSETOFFLOAD");
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in *address = (struct sockaddr_in *)&ifr.ifr_addr;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("198.18.20.1")};
    must(ioctl(s, SIOCSIFADDR, &ifr) == 0, "address");
    address->sin_addr.s_addr = inet_addr("255.255.255.0");
    must(ioctl(s, SIOCSIFNETMASK, &ifr) == 0, "netmask");
    ifr.ifr_qlen = 5000;
    must(ioctl(s, SIOCSIFTXQLEN, &ifr) == 0, "queue");
    ifr.ifr_flags = IFF_UP | IFF_RUNNING;
    must(ioctl(s, SIOCSIFFLAGS, &ifr) == 0, "up");
    must(ioctl(s, SIOCGIFINDEX, &ifr) == 0, "index");
    ifindex = ifr.ifr_ifindex;
    close(s);
}

// A TCP segment over IPv4 of so many bytes, from a neighbour to one that nobody is, with its offload header.
static int segment(uint8_t *frame, struct virtio_net_hdr *header, int payload) {
    int len = HEADERS + payload;
    memset(frame, 0x75, len);
    memset(frame, 0, HEADERS);
    frame[0] = 0x45;
    frame[2] = len >> 8, frame[3] = len;
    frame[6] = 0x40, frame[8] = 64, frame[9] = 6;
    uint32_t src = inet_addr("198.18.20.2"), dst = inet_addr("198.18.20.3");
    memcpy(frame + 12, &src, 4), memcpy(frame + 16, &dst, 4);
    uint16_t sum = checksum(frame, 20);
    frame[10] = sum >> 8, frame[11] = sum;
    frame[20] = 0x10, frame[23] = 9, frame[32] = 8 << 4, frame[33] = 0x10, frame[34] = 0x40;
    frame[40] = frame[41] = 1, frame[42] = 8, frame[43] = 10;
    *header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 16};
    if (payload > MSS) {
        header->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        header->gso_size = MSS;
        header->hdr_len = HEADERS;
    }
    return len;
}

// The kernel's side of `read`: as a TCP that never waits. Without offload the kernel cuts.
static void *flood(void *arg) {
    static uint8_t frame[1 << 17];
    struct virtio_net_hdr header;
    int len = segment(frame, &header, SEGMENTS * MSS), on = 1;
    int s = socket(AF_PACKET, SOCK_RAW, 0);
    must(s >= 0 && setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) == 0, "packet socket");
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = ifindex};
    struct iovec pieces[] = {{&header, sizeof header}, {frame, len}};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = pieces, .msg_iovlen = 2};
    while (!done) {
        if (sendmsg(s, &message, 0) < 0) must(errno == ENOBUFS || errno == EAGAIN, "sendmsg");
    }
    return arg;
}

static double read_all(double seconds, double *took) {
    static uint8_t buffer[1 << 20];
    pthread_t thread;
    must(pthread_create(&thread, NULL, flood, NULL) == 0, "thread");
    double bytes = 0, start = now(), end = start + seconds;
    int extra = HEADERS + (plain ? 0 : (int)sizeof(struct virtio_net_hdr));
    for (unsigned turn = 0; (turn & 63) != 0 || now() < end; turn++) {
        ssize_t len = read(device, buffer, 70000);
        if (len > extra) bytes += len - extra;
        else if (len < 0 && errno == EAGAIN) poll(&(struct pollfd){.fd = device, .events = POLLIN}, 1, 100);
    }
    *took = now() - start;
    done = 1;
    pthread_join(thread, NULL);
    return bytes * 8 / 1e9 / *took;
}

static double write_all(double seconds, double *took) {
    static uint8_t frame[1 << 17];
    struct virtio_net_hdr header;
    int payload = plain ? MSS : SEGMENTS * MSS;
    int len = segment(frame, &header, payload);
    struct iovec pieces[] = {{&header, sizeof header}, {frame, len}};
    double bytes = 0, start = now(), end = start + seconds;
    for (unsigned turn = 0; (turn & 63) != 0 || now() < end; turn++) {
        must(writev(device, plain ? pieces + 1 : pieces, plain ? 1 : 2) > 0, "write");
        bytes += payload;
    }
    *took = now() - start;
    return bytes * 8 / 1e9 / *took;
}

// The device's side of `echo`: addresses and ports change places, which leaves both checksums right.
static void *echo(void *arg) {
    uint8_t frame[2048], swap[4];
    while (!done) {
        ssize_t len = read(device, frame, sizeof frame);
        if (len < 0) {
            poll(&(struct pollfd){.fd = device, .events = POLLIN}, 1, 100);
            continue;
        }
        if (len < 28 || frame[0] != 0x45 || frame[9] != 17) continue;
        memcpy(swap, frame + 12, 4), memcpy(frame + 12, frame + 16, 4), memcpy(frame + 16, swap, 4);
        memcpy(swap, frame + 20, 2), memcpy(frame + 20, frame + 22, 2), memcpy(frame + 22, swap, 2);
        must(write(device, frame, len) == len, "write");
    }
    return arg;
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double echoes(double seconds, double *took, double *p50) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, echo, NULL) == 0, "thread");
    int s = socket(AF_INET, SOCK_DGRAM, 0), count = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("198.18.20.2")};
    must(connect(s, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    struct timeval patience = {.tv_sec = 1};
    must(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0, "timeout");
    float *times = malloc(MAX_ECHOES * sizeof *times);
    char data[64] = {0};
    double start = now(), end = start + seconds, last = start;
    while (last < end && count < MAX_ECHOES) {
        must(send(s, data, sizeof data, 0) == sizeof data, "send");
        must(recv(s, data, sizeof data, 0) == sizeof data, "recv");
        double at = now();
        times[count++] = (at - last) * 1e6;
        last = at;
    }
    *took = last - start;
    done = 1;
    pthread_join(thread, NULL);
    qsort(times, count, sizeof *times, compare);
    *p50 = times[count / 2];
    return count / *took;
}

int main(int argc, char **argv) {
    plain = argc == 4 && strcmp(argv[2], "plain") == 0;
    double seconds = argc >= 3 ? atof(argv[argc - 1]) : 0, took = 0, value, p50 = 0;
    if (seconds <= 0) {
        fprintf(stderr, "usage: device read|write|echo [plain] SECONDS\n");
        return 2;
    }
    open_device();
    if (strcmp(argv[1], "read") == 0) value = read_all(seconds, &took);
    else if (strcmp(argv[1], "write") == 0) value = write_all(seconds, &took);
    else value = echoes(seconds, &took, &p50);
    printf("{\"value\": %.3f, \"seconds\": %.3f", value, took);
    if (p50 > 0) printf(", \"p50\": %.2f", p50);
    printf("}\n");
    return 0;
}
