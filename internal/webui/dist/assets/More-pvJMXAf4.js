<<<<<<<< HEAD:internal/webui/dist/assets/More-CaZlqfRn.js
import{g as e}from"./index-CMc_SOMe.js";import{t}from"./jsx-runtime-CkXRJ162.js";var n=t();function r({query:t}){return t.hasNextPage?(0,n.jsx)(`div`,{className:`flex justify-center p-3`,children:(0,n.jsx)(e,{disabled:t.isFetchingNextPage,onClick:()=>void t.fetchNextPage(),children:t.isFetchingNextPage?`Loading…`:`Show more`})}):null}export{r as t};
========
import{g as e}from"./index-Cj5KBpnz.js";import{t}from"./jsx-runtime-CkXRJ162.js";var n=t();function r({query:t}){return t.hasNextPage?(0,n.jsx)(`div`,{className:`flex justify-center p-3`,children:(0,n.jsx)(e,{disabled:t.isFetchingNextPage,onClick:()=>void t.fetchNextPage(),children:t.isFetchingNextPage?`Loading…`:`Show more`})}):null}export{r as t};
>>>>>>>> 8c242bb (dashboard: rerun with a result that is given, what was sent and answered, versions, trends, hints):internal/webui/dist/assets/More-pvJMXAf4.js
