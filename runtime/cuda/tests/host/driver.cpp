// NVIDIA's driver, as far as this crate calls it, on a CPU: tests of machines without a GPU load it as libcuda.
//
// It is as lazy as the real one may be: copies and launches only wait in the stream until somebody waits for them or asks
// an event a second time. What the real one forbids ends the process: freeing what the stream still uses, unloading code
// that will be launched. Memory of the device ends at a page that nobody may touch, and begins as garbage.
#include "host.hpp"
#include <sys/mman.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

extern const HostKernel host_kernels[];
extern const unsigned host_kernel_count;
thread_local Index threadIdx, blockIdx, blockDim;

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_IMAGE = 200, NO_BINARY = 209 };
enum { NOT_FOUND = 500, NOT_READY = 600 };

namespace {

struct Event {
    bool pending;
    bool asked;
};

struct Module {
    std::vector<const HostKernel*> kernels;
    int waiting;
};

struct Function {
    Module* module;
    const HostKernel* kernel;
};

// What tests turn, by number; and what they may ask back.
enum { VERSION, DEVICES, CAPABILITY, POOLS, FREE_MIB, LAUNCH_ERROR, ALLOCATIONS, REFUSED, IN_USE, LAUNCHES, LOADED, KNOBS };
const int DEFAULTS[KNOBS] = {12060, 1, 87, 1, 1024, 0, -1, 0, 0, 0, 0};
int knobs[KNOBS] = {12060, 1, 87, 1, 1024, 0, -1, 0, 0, 0, 0};

std::recursive_mutex lock;
std::deque<std::function<void()>> waiting;
int sticky = SUCCESS;
std::map<uintptr_t, size_t> device_memory, host_memory;
// Copies that wait, by the memory of the host that they read or write.
std::map<uintptr_t, int> host_uses;
std::map<uintptr_t, std::pair<void*, size_t>> mappings;
void* current = nullptr;

void forbid(const char* what) {
    std::fprintf(stderr, "the tests' driver: %s\n", what);
    std::abort();
}

int flush() {
    while (!waiting.empty()) {
        auto next = waiting.front();
        waiting.pop_front();
        next();
    }
    return sticky;
}

bool within(const std::map<uintptr_t, size_t>& memory, uintptr_t at, size_t len) {
    auto next = memory.upper_bound(at);
    if (next == memory.begin()) {
        return false;
    }
    const auto& found = *std::prev(next);
    return at - found.first <= found.second && len <= found.second - (at - found.first);
}

// Queues a copy from or to pinned memory of the host.
void queue_pinned(const void* host, std::function<void()> copy) {
    const uintptr_t base = std::prev(host_memory.upper_bound((uintptr_t)host))->first;
    host_uses[base]++;
    waiting.push_back([=] {
        copy();
        host_uses[base]--;
    });
}

int take(uintptr_t* pointer, size_t len) {
    if (len == 0) {
        return INVALID_VALUE;
    }
    if (knobs[ALLOCATIONS] == 0 || len > (size_t)knobs[FREE_MIB] << 20) {
        return OUT_OF_MEMORY;
    }
    knobs[ALLOCATIONS] -= knobs[ALLOCATIONS] > 0;
    const size_t page = 4096, room = (len + page - 1) / page * page;
    char* base = (char*)mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + room, page, PROT_NONE) != 0) {
        return OUT_OF_MEMORY;
    }
    std::memset(base, 0xa5, room);
    // As near to the forbidden page as an alignment of 16 allows.
    *pointer = (uintptr_t)base + (room - len) / 16 * 16;
    device_memory[*pointer] = len;
    mappings[*pointer] = {base, room + page};
    knobs[IN_USE]++;
    return SUCCESS;
}

int give(uintptr_t pointer) {
    auto found = mappings.find(pointer);
    if (found == mappings.end()) {
        return INVALID_VALUE;
    }
    munmap(found->second.first, found->second.second);
    mappings.erase(found);
    device_memory.erase(pointer);
    knobs[IN_USE]--;
    return SUCCESS;
}

// Whether code is for this device and holds the kernel.
bool holds(const unsigned char* image, const char* name, int* error) {
    std::string text, wanted;
    if (std::memcmp(image, "\177ELF", 4) == 0) {
        uint16_t machine, entry, entries;
        uint32_t flags;
        uint64_t sections;
        std::memcpy(&machine, image + 18, 2);
        std::memcpy(&sections, image + 40, 8);
        std::memcpy(&flags, image + 48, 4);
        std::memcpy(&entry, image + 58, 2);
        std::memcpy(&entries, image + 60, 2);
        const int capability = knobs[CAPABILITY];
        if (machine != 190 || ((int)(flags & 255) != capability && (int)(flags >> 8 & 255) != capability)) {
            *error = machine == 190 ? NO_BINARY : INVALID_IMAGE;
            return false;
        }
        text.assign((const char*)image, sections + (size_t)entry * entries);
        wanted = std::string(".text.") + name + '\0';
    } else if (std::strstr((const char*)image, ".version ")) {
        text = (const char*)image;
        const size_t at = text.find(".target sm_");
        if (at == std::string::npos || std::atoi(text.c_str() + at + 11) > knobs[CAPABILITY]) {
            *error = NO_BINARY;
            return false;
        }
        wanted = std::string(".entry ") + name + "(";
    } else {
        *error = INVALID_IMAGE;
        return false;
    }
    return text.find(wanted) != std::string::npos;
}

}  // namespace

#define CALL extern "C" __attribute__((visibility("default"))) int
#define LOCKED std::lock_guard<std::recursive_mutex> guard(lock)

CALL emulate(int knob, int value) {
    LOCKED;
    knobs[knob] = value;
    return SUCCESS;
}

CALL emulated(int knob) {
    LOCKED;
    return knobs[knob];
}

CALL emulate_afresh() {
    LOCKED;
    for (int knob = 0; knob < IN_USE; knob++) {
        knobs[knob] = DEFAULTS[knob];
    }
    sticky = SUCCESS;
    return SUCCESS;
}

CALL cuInit(unsigned) { return knobs[DEVICES] > 0 ? SUCCESS : NO_DEVICE; }

CALL cuDriverGetVersion(int* version) {
    *version = knobs[VERSION];
    return SUCCESS;
}

CALL cuGetErrorString(int error, const char** text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : error == 719 ? "unspecified launch failure" : "an error";
    return SUCCESS;
}

CALL cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return ordinal < knobs[DEVICES] ? SUCCESS : INVALID_VALUE;
}

CALL cuDeviceGetCount(int* count) {
    *count = knobs[DEVICES];
    return SUCCESS;
}

CALL cuDeviceGetName(char* name, int len, int) {
    std::snprintf(name, len, "a CPU in a GPU's place");
    return SUCCESS;
}

CALL cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 75: *value = knobs[CAPABILITY] / 10; return SUCCESS;
        case 76: *value = knobs[CAPABILITY] % 10; return SUCCESS;
        case 115: *value = knobs[POOLS]; return SUCCESS;
        default: return INVALID_VALUE;
    }
}

CALL cuDevicePrimaryCtxRetain(void** context, int) {
    *context = (void*)0x1000;
    return SUCCESS;
}

CALL cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }

CALL cuCtxGetCurrent(void** context) {
    *context = current;
    return SUCCESS;
}

CALL cuCtxSetCurrent(void* context) {
    current = context;
    return SUCCESS;
}

CALL cuCtxSynchronize() {
    LOCKED;
    return flush();
}

CALL cuMemGetInfo_v2(size_t* free, size_t* total) {
    *free = *total = (size_t)knobs[FREE_MIB] << 20;
    return SUCCESS;
}

CALL cuMemAlloc_v2(uintptr_t* pointer, size_t len) {
    LOCKED;
    return take(pointer, len);
}

CALL cuMemAllocAsync(uintptr_t* pointer, size_t len, void*) {
    LOCKED;
    return knobs[POOLS] ? take(pointer, len) : INVALID_VALUE;
}

CALL cuMemFree_v2(uintptr_t pointer) {
    LOCKED;
    if (!waiting.empty()) {
        forbid("memory is freed while the stream may use it");
    }
    return give(pointer);
}

CALL cuMemFreeAsync(uintptr_t pointer, void*) {
    LOCKED;
    waiting.push_back([=] { give(pointer); });
    return SUCCESS;
}

CALL cuMemHostAlloc(void** pointer, size_t len, unsigned) {
    LOCKED;
    *pointer = std::malloc(len);
    std::memset(*pointer, 0xa5, len);
    host_memory[(uintptr_t)*pointer] = len;
    knobs[IN_USE]++;
    return SUCCESS;
}

CALL cuMemFreeHost(void* pointer) {
    LOCKED;
    if (host_uses[(uintptr_t)pointer] != 0) {
        forbid("memory of the host is freed while the stream may use it");
    }
    host_memory.erase((uintptr_t)pointer);
    std::free(pointer);
    knobs[IN_USE]--;
    return SUCCESS;
}

CALL cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t len, void*) {
    LOCKED;
    if (!within(device_memory, to, len)) {
        return INVALID_VALUE;
    }
    if (within(host_memory, (uintptr_t)from, len)) {
        queue_pinned(from, [=] { std::memcpy((void*)to, from, len); });
    } else {
        // What is not pinned has been read when this returns.
        std::vector<char> staged((const char*)from, (const char*)from + len);
        waiting.push_back([=] { std::memcpy((void*)to, staged.data(), len); });
    }
    return SUCCESS;
}

CALL cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t len, void*) {
    LOCKED;
    if (!within(device_memory, from, len)) {
        return INVALID_VALUE;
    }
    if (!within(host_memory, (uintptr_t)to, len)) {
        forbid("an output is not pinned: copying it back would wait");
    }
    queue_pinned(to, [=] { std::memcpy(to, (const void*)from, len); });
    return SUCCESS;
}

CALL cuMemsetD8Async(uintptr_t to, unsigned char value, size_t len, void*) {
    LOCKED;
    if (!within(device_memory, to, len)) {
        return INVALID_VALUE;
    }
    waiting.push_back([=] { std::memset((void*)to, value, len); });
    return SUCCESS;
}

CALL cuStreamCreate(void** stream, unsigned) {
    *stream = (void*)0x2000;
    return SUCCESS;
}

CALL cuStreamDestroy_v2(void*) { return SUCCESS; }

CALL cuStreamSynchronize(void*) {
    LOCKED;
    return flush();
}

CALL cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }

CALL cuEventCreate(void** event, unsigned) {
    *event = new Event{false, false};
    return SUCCESS;
}

CALL cuEventDestroy_v2(void* event) {
    LOCKED;
    flush();
    delete (Event*)event;
    return SUCCESS;
}

CALL cuEventRecord(void* event, void*) {
    LOCKED;
    Event* recorded = (Event*)event;
    *recorded = Event{true, false};
    waiting.push_back([=] { recorded->pending = false; });
    return SUCCESS;
}

CALL cuEventQuery(void* event) {
    LOCKED;
    Event* asked = (Event*)event;
    if (asked->pending && !asked->asked) {
        asked->asked = true;
        return NOT_READY;
    }
    return flush();
}

CALL cuEventSynchronize(void* event) {
    LOCKED;
    return ((Event*)event)->pending ? flush() : sticky;
}

CALL cuModuleLoadData(void** module, const void* image) {
    LOCKED;
    if (knobs[REFUSED] > 0) {
        knobs[REFUSED]--;
        return INVALID_IMAGE;
    }
    // The cores from 6.1 on multiply four bytes in one instruction; the kernels are there in both forms.
    const int form = knobs[CAPABILITY] >= 61 ? 870 : 530;
    int error = SUCCESS;
    Module loaded{{}, 0};
    for (unsigned i = 0; i < host_kernel_count && error == SUCCESS; i++) {
        const HostKernel* kernel = &host_kernels[i];
        if (kernel->capability == form && holds((const unsigned char*)image, kernel->name, &error)) {
            loaded.kernels.push_back(kernel);
        }
    }
    if (error == SUCCESS) {
        *module = new Module(loaded);
        knobs[LOADED]++;
    }
    return error;
}

CALL cuModuleUnload(void* module) {
    LOCKED;
    if (((Module*)module)->waiting != 0) {
        forbid("code is unloaded while the stream may run it");
    }
    delete (Module*)module;
    return SUCCESS;
}

CALL cuModuleGetFunction(void** function, void* module, const char* name) {
    LOCKED;
    for (const HostKernel* kernel : ((Module*)module)->kernels) {
        if (std::strcmp(kernel->name, name) == 0) {
            // As long as the module, in the real one; a few bytes for ever, here.
            *function = new Function{(Module*)module, kernel};
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

CALL cuLaunchKernel(void* function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned, unsigned,
                    void*, void** args, void** extra) {
    LOCKED;
    if (blocks == 0 || threads == 0 || threads > 1024 || extra != nullptr) {
        return INVALID_VALUE;
    }
    // Arguments are copied now; the kernel runs when it runs.
    const HostKernel* kernel = ((Function*)function)->kernel;
    uintptr_t arena = *(uintptr_t*)args[0], constants = *(uintptr_t*)args[1];
    std::vector<char> params((const char*)args[2], (const char*)args[2] + kernel->params);
    if (!within(device_memory, arena, 1) || !within(device_memory, constants, 1)) {
        return INVALID_VALUE;
    }
    knobs[LAUNCHES]++;
    Module* module = ((Function*)function)->module;
    module->waiting++;
    waiting.push_back([=] {
        module->waiting--;
        if (knobs[LAUNCH_ERROR] != 0) {
            sticky = knobs[LAUNCH_ERROR];
        }
        if (sticky == SUCCESS) {
            kernel->run(blocks, threads, (void*)arena, (void*)constants, params.data());
        }
    });
    return SUCCESS;
}
