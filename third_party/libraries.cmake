# The system's libraries (docs/architecture.md says why each). HORNITO_LIBRARIES is the whole list.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# These stand in hornito.pc and in the CMake package too.
set(HORNITO_MODULES jansson>=2.14 libpcre2-8>=10.40
  libutf8proc>=2.6 # 2.8.0 says 2.6.0 of itself
  libxxhash>=0.8
  sndfile>=1.1 # the first with mp3
  soxr>=0.1.3 zlib>=1.2)
# OpenBLAS: without it the plain loops serve.
pkg_check_modules(openblas QUIET IMPORTED_TARGET openblas)
if(openblas_FOUND)
  add_compile_definitions(HN_HAVE_OPENBLAS)
  list(APPEND HORNITO_MODULES openblas)
endif()
message(STATUS "OpenBLAS: ${openblas_FOUND} ${openblas_VERSION}")

set(HORNITO_LIBRARIES Threads::Threads m ${CMAKE_DL_LIBS})
foreach(module ${HORNITO_MODULES})
  string(REGEX REPLACE ">=.*" "" name ${module})
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  list(APPEND HORNITO_LIBRARIES PkgConfig::${name})
endforeach()
pkg_check_modules(popt REQUIRED IMPORTED_TARGET popt>=1.19) # of the command

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

# glslang: KHR cooperative matrices need 13. Where the system's is older, the one that
# tools/get-glslang keeps serves; without it those shaders are left out (HORNITO_COOPMAT).
find_program(GLSLANG NAMES glslang glslangValidator REQUIRED)
set(GLSLANG_COMMAND ${GLSLANG})
function(hn_glslang_version out)
  execute_process(COMMAND ${ARGN} --version OUTPUT_VARIABLE text ERROR_QUIET)
  string(REGEX MATCH "Glslang Version: [0-9]+:([0-9.]+)" found "${text}")
  set(${out} "${CMAKE_MATCH_1}" PARENT_SCOPE)
endfunction()
hn_glslang_version(GLSLANG_VERSION ${GLSLANG})
if(GLSLANG_VERSION VERSION_LESS 13)
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/../tools/get-glslang --where
    OUTPUT_VARIABLE kept OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(kept AND EXISTS ${kept}/bin/glslang)
    set(GLSLANG_COMMAND ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${kept}/lib ${kept}/bin/glslang)
    hn_glslang_version(GLSLANG_VERSION ${GLSLANG_COMMAND})
  endif()
endif()
set(HORNITO_COOPMAT ON)
if(GLSLANG_VERSION VERSION_LESS 13)
  set(HORNITO_COOPMAT OFF)
  message(STATUS "glslang: ${GLSLANG_VERSION}; kernels for cooperative matrices are left out: they need 13 (tools/get-glslang)")
else()
  message(STATUS "glslang: ${GLSLANG_VERSION}")
endif()
find_program(SPIRV_VAL spirv-val REQUIRED)
