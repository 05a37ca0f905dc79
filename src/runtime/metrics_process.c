/* What the kernel knows about this process: the process_* family of metrics, and those of go_* that
 * dashboards of Thanos draw, as far as they have a meaning here. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/metrics.h"

struct process_metrics {
    struct metric *cpu_seconds, *open_fds, *max_fds, *virtual_bytes, *virtual_max_bytes;
    struct metric *resident_bytes, *start_time, *received_bytes, *sent_bytes;
    struct metric *goroutines, *threads, *stack_bytes;
    double boot_time;
};

/* A whole file of /proc as text with a NUL; what does not fit is cut off. */
static bool proc_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t got;
    while (len < size - 1 && (got = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    text[len] = '\0';
    return len > 0;
}

static double proc_boot_time(void)
{
    char text[64 * 1024];
    const char *line =
        proc_read("/proc/stat", text, sizeof(text)) ? strstr(text, "\nbtime ") : NULL;
    return line ? strtod(line + 7, NULL) : 0;
}

static double proc_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    double count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* the one that reads the directory */
}

static double limit_of(int resource)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? 18446744073709551615.0 : (double)limit.rlim_cur;
}

/* Fields 14, 15, 20, 22, 23, 24 of /proc/self/stat, counted from after the command's name, which
 * may hold anything. */
static void collect_stat(struct process_metrics *self)
{
    char text[4096];
    const char *field =
        proc_read("/proc/self/stat", text, sizeof(text)) ? strrchr(text, ')') : NULL;
    if (!field)
        return;
    double ticks = (double)sysconf(_SC_CLK_TCK), cpu = 0, threads = 0;
    field++;
    for (int number = 3; number <= 24 && *field; number++) {
        char *end;
        double value = strtod(field + 1, &end);
        if (number == 14 || number == 15)
            cpu += value / ticks;
        else if (number == 20)
            threads = value;
        else if (number == 22)
            metric_set(self->start_time, self->boot_time + value / ticks);
        else if (number == 23)
            metric_set(self->virtual_bytes, value);
        else if (number == 24)
            metric_set(self->resident_bytes, value * (double)sysconf(_SC_PAGESIZE));
        field = strchr(field + 1, ' ');
        if (!field)
            break;
    }
    metric_set(self->cpu_seconds, cpu);
    metric_set(self->threads, threads);
    metric_set(self->goroutines, threads);
}

static void collect_stack(struct process_metrics *self)
{
    char text[8 * 1024];
    const char *line =
        proc_read("/proc/self/status", text, sizeof(text)) ? strstr(text, "\nVmStk:") : NULL;
    metric_set(self->stack_bytes, line ? strtod(line + strlen("\nVmStk:"), NULL) * 1024 : 0);
}

/* Two lines that begin with IpExt:, one of names and one of values. */
static void collect_network(struct process_metrics *self)
{
    char text[16 * 1024];
    if (!proc_read("/proc/self/net/netstat", text, sizeof(text)))
        return;
    char *names = strstr(text, "IpExt: ");
    char *values = names ? strstr(names + 1, "\nIpExt: ") : NULL;
    if (!values)
        return;
    *values++ = '\0';
    char *name_rest = NULL, *value_rest = NULL;
    char *name = strtok_r(names, " \n", &name_rest);
    char *value = strtok_r(values, " \n", &value_rest);
    while (name && value) {
        if (strcmp(name, "InOctets") == 0)
            metric_set(self->received_bytes, strtod(value, NULL));
        else if (strcmp(name, "OutOctets") == 0)
            metric_set(self->sent_bytes, strtod(value, NULL));
        name = strtok_r(NULL, " \n", &name_rest);
        value = strtok_r(NULL, " \n", &value_rest);
    }
}

static void collect_process(void *arg)
{
    struct process_metrics *self = arg;
    collect_stat(self);
    collect_stack(self);
    collect_network(self);
    metric_set(self->open_fds, proc_open_fds());
    metric_set(self->max_fds, limit_of(RLIMIT_NOFILE));
    metric_set(self->virtual_max_bytes, limit_of(RLIMIT_AS));
}

void metrics_register_process(struct metrics *metrics)
{
    struct process_metrics *self = metrics_alloc(metrics, sizeof(*self));
    self->boot_time = proc_boot_time();
    self->cpu_seconds = metrics_counter(metrics, "process_cpu_seconds_total",
                                        "CPU time spent in user and kernel mode, in seconds.");
    self->open_fds = metrics_gauge(metrics, "process_open_fds", "File descriptors that are open.");
    self->max_fds =
        metrics_gauge(metrics, "process_max_fds", "File descriptors that may be open at most.");
    self->virtual_bytes = metrics_gauge(metrics, "process_virtual_memory_bytes",
                                        "Size of the address space in bytes.");
    self->virtual_max_bytes = metrics_gauge(metrics, "process_virtual_memory_max_bytes",
                                            "Largest allowed address space in bytes.");
    self->resident_bytes =
        metrics_gauge(metrics, "process_resident_memory_bytes", "Memory in RAM, in bytes.");
    self->start_time = metrics_gauge(metrics, "process_start_time_seconds",
                                     "When the process was started, in seconds since 1970 UTC.");
    self->received_bytes = metrics_counter(metrics, "process_network_receive_bytes_total",
                                           "Bytes received over the network of the process.");
    self->sent_bytes = metrics_counter(metrics, "process_network_transmit_bytes_total",
                                       "Bytes sent over the network of the process.");
    self->goroutines = metrics_gauge(metrics, "go_goroutines", "Threads of the process.");
    self->threads = metrics_gauge(metrics, "go_threads", "Threads of the process.");
    self->stack_bytes = metrics_gauge(metrics, "go_memstats_stack_inuse_bytes",
                                      "Stack of the process's first thread, in bytes.");
    metrics_on_collect(metrics, collect_process, self);
}
