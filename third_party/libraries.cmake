# The system's libraries (docs/architecture.md says why each). HORNITO_LIBRARIES is the whole list.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson>=2.14)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc>=2.6) # 2.8.0 says 2.6.0 of itself
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash>=0.8)
pkg_check_modules(popt REQUIRED IMPORTED_TARGET popt>=1.19)
set(HORNITO_LIBRARIES PkgConfig::jansson PkgConfig::pcre2 PkgConfig::utf8proc PkgConfig::xxhash
  Threads::Threads m ${CMAKE_DL_LIBS})

# volk: Debian's libvulkan-volk-dev is volk.h and volk.c, which volk.h includes where
# VOLK_IMPLEMENTATION is defined; it loads libvulkan at run time.
find_path(VOLK_INCLUDE volk.h REQUIRED)
include_directories(SYSTEM ${VOLK_INCLUDE})
# volk's variables bear the names of Vulkan's functions, which a program that links libvulkan beside
# a static libhornito would then call into. They get names of their own.
file(STRINGS ${VOLK_INCLUDE}/volk.h volk_lines REGEX "^extern PFN_|^(void|VkResult|uint32_t|VkInstance|VkDevice) volk")
set(volk_names "// Made by third_party/libraries.cmake.\n")
foreach(line ${volk_lines})
  string(REGEX REPLACE "^.* (v(ol)?k[A-Za-z0-9_]*)[(;].*" "\\1" name "${line}")
  string(APPEND volk_names "#define ${name} hn__volk_${name}\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/volk_names.h CONTENT "${volk_names}" @ONLY)

# spirv.h of spirv-headers: the plan writes SPIR-V itself.
find_path(SPIRV_INCLUDE spirv/unified1/spirv.h REQUIRED)
include_directories(${SPIRV_INCLUDE})

# OpenBLAS: without it the plain loops serve.
pkg_check_modules(openblas IMPORTED_TARGET openblas)
if(openblas_FOUND)
  add_compile_definitions(HN_HAVE_OPENBLAS)
  list(APPEND HORNITO_LIBRARIES PkgConfig::openblas)
endif()
message(STATUS "OpenBLAS: ${openblas_FOUND} ${openblas_VERSION}")

find_program(GLSLANG NAMES glslang glslangValidator REQUIRED)
find_program(SPIRV_VAL spirv-val)
